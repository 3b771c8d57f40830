"""What a build would cost, before it is made."""
