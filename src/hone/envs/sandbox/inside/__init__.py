"""What runs inside the sandbox. Nothing here imports hone: of hone's files the program sees this folder alone."""
