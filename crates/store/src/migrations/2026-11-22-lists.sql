-- Labels, the order of lists, and the answers to requests that carried an Idempotency-Key.
ALTER TABLE vms ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';

-- What vms.labels says, to be searched by.
CREATE TABLE vm_labels (
    vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (vm, name)
);

CREATE TABLE answers (
    user_id TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    -- The Idempotency-Key.
    key TEXT NOT NULL,
    -- The digest of the request's body, as values.
    body TEXT NOT NULL,
    operation TEXT NOT NULL,
    -- What it was done to, where that has an id.
    target TEXT,
    -- The answer: status, headers and body, without secrets.
    answer TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (user_id, method, path, key)
);

CREATE INDEX answers_by_time ON answers (at);

-- Lists are walked by these, for one owner and for all.
CREATE INDEX vms_by_owner_and_time ON vms (owner, created_at, id);
CREATE INDEX vms_by_owner_and_any_name ON vms (owner, name, id);
CREATE INDEX vms_by_time ON vms (created_at, id);
DROP INDEX vms_by_name;
CREATE INDEX vms_by_name ON vms (name, id);
