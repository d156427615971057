"""The classical worlds as Gymnasium environments with integers for states and actions, one per file."""
