"""Who answers better than the policy did where it was; one kind per file."""
