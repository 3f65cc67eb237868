-- What a plan names of each VM, and whether its host holds that, read from indexes alone: the rows are wide.

DROP INDEX vms_by_host;

CREATE INDEX vms_by_host ON vms (host, id, placement, generation, remove);

CREATE INDEX seen_by_vm ON seen (vm, placement, accepted);
