"""Text rows: read from files or the hub, encoded into batches for supervised fitting."""
