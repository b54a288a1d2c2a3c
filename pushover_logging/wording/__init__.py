"""What a record says, in the words of a phone: its cause, its fields, and what fits of them."""
