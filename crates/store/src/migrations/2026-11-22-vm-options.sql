-- What a VM runs and how people get at it, as a document; an empty one is all defaults.
ALTER TABLE vms ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
