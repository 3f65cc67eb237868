-- What the host holds of a VM, as `seen` has it; plans leave out what is held.
ALTER TABLE seen ADD COLUMN placement BIGINT NOT NULL DEFAULT 0;
ALTER TABLE seen ADD COLUMN accepted BIGINT NOT NULL DEFAULT 0;

-- The id of the request that asked for a VM as it is asked for now.
ALTER TABLE vms ADD COLUMN request TEXT;
