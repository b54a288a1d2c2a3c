"""What the library costs beside what people use instead: ``python -m benchmarks --help``."""
