"""What each side promises whoever has been lent something of it."""
