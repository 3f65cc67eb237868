-- What plans name and never carry. One belongs to a VM and ends with it.
CREATE TABLE secrets (
    id TEXT PRIMARY KEY,
    vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    -- Rises when the content is replaced; the one before is gone then.
    version BIGINT NOT NULL,
    -- The user who presented them.
    presented_by TEXT NOT NULL,
    data TEXT NOT NULL
);

CREATE INDEX secrets_by_vm ON secrets (vm);

-- The credentials that a VM's image is pulled with, by name.
ALTER TABLE vms ADD COLUMN registry_secret TEXT;
