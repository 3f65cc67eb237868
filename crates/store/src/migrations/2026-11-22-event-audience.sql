-- Who may see the last event of a VM that is gone.
ALTER TABLE events ADD COLUMN audience TEXT;
