"""Settings: of a store, of a fusion and of a motion student; what a user may give, checked."""
