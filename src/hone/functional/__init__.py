"""The maths: pure tensor functions without input or output."""
