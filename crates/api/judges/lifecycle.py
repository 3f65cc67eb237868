"""create → wait → delete with the client that openapi-python-client makes of the document."""

import importlib
import os
import pkgutil

import pitwall_client.api
from pitwall_client import AuthenticatedClient
from pitwall_client.models import CreateVm, Problem, Vm, VmWaitFor

# Seconds.
LIMIT = 30
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN01b3hosV/xotUftL4DrHvZQ+L4cgFDuAKjFLIxlnmu me"

client = AuthenticatedClient(base_url=os.environ["PITWALL_URL"], token=os.environ["PITWALL_TOKEN"])
MODULES = {
    module.name.rpartition(".")[2]: module.name
    for module in pkgutil.walk_packages(pitwall_client.api.__path__, "pitwall_client.api.")
}


def call(operation, *arguments, **fields):
    """Calls an operation, whichever folder the generator put it in."""
    return importlib.import_module(MODULES[operation]).sync_detailed(*arguments, client=client, **fields)


def wait(vm, status):
    answer = call("vm_wait", vm, for_=VmWaitFor(status), timeout=LIMIT)
    assert answer.status_code == 200 and answer.parsed.reached, answer


def main():
    created = call("vm_create", body=CreateVm(name="python", image="debian:12", keys=[KEY]))
    assert created.status_code == 201 and isinstance(created.parsed, Vm), created
    vm = created.parsed
    wait(vm.id, "RUNNING")
    shown = call("vm_get", vm.id).parsed
    assert isinstance(shown, Vm) and shown.memory_bytes == vm.memory_bytes, shown
    deleted = call("vm_delete", vm.id)
    assert deleted.status_code == 202 and deleted.parsed.status == "DELETING", deleted
    wait(vm.id, "DELETED")
    refused = call("vm_create", body=CreateVm(name="No Name", image="debian:12", keys=[KEY]))
    assert refused.status_code == 422 and isinstance(refused.parsed, Problem), refused
    assert (refused.parsed.code, refused.parsed.pointer) == ("invalid_value", "/name"), refused


main()
