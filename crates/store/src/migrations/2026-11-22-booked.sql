-- What is asked on each host, summed.
ALTER TABLE hosts ADD COLUMN booked_cpus BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN booked_memory_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN booked_disk_bytes BIGINT NOT NULL DEFAULT 0;
UPDATE hosts SET
    booked_cpus = (SELECT COALESCE(SUM(vms.cpus), 0) FROM vms WHERE vms.host = hosts.id),
    booked_memory_bytes = (SELECT COALESCE(SUM(vms.memory_bytes), 0) FROM vms WHERE vms.host = hosts.id),
    booked_disk_bytes = (SELECT COALESCE(SUM(vms.disk_bytes), 0) FROM vms WHERE vms.host = hosts.id);
