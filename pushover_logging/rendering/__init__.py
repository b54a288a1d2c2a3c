"""From a record to a title and a body that read well on a phone."""
