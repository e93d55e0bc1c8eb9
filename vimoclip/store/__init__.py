"""The store on disk: Lance tables, the snapshot that readers see, the one writer and its lock, verify."""
