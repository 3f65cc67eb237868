-- How long VMs live. Times are milliseconds since 1970, lengths seconds.
ALTER TABLE vms ADD COLUMN ttl BIGINT;
ALTER TABLE vms ADD COLUMN expires_at BIGINT;
-- From the stop that really happened to the removal.
ALTER TABLE vms ADD COLUMN grace BIGINT NOT NULL DEFAULT 259200;
ALTER TABLE vms ADD COLUMN stopped_at BIGINT;
-- Whether the warning was given.
ALTER TABLE vms ADD COLUMN warned SMALLINT NOT NULL DEFAULT 0;
-- How long it outlives the client that has to say that it is there; absent for most.
ALTER TABLE vms ADD COLUMN lease BIGINT;

CREATE INDEX vms_by_expiry ON vms (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX vms_by_lease ON vms (lease) WHERE lease IS NOT NULL;
