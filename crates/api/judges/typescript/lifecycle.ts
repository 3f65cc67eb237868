// create → wait → delete with the client that openapi-typescript and openapi-fetch make of the document.

import createClient from "openapi-fetch";

import type { components, paths } from "./schema.ts";

type Vm = components["schemas"]["Vm"];
type Problem = components["schemas"]["Problem"];

const LIMIT_SECONDS = 30;
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN01b3hosV/xotUftL4DrHvZQ+L4cgFDuAKjFLIxlnmu me";

const url = process.env["PITWALL_URL"];
const token = process.env["PITWALL_TOKEN"];
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

function refused(what: string, problem: Problem | undefined): Error {
  return new Error(`${what}: ${problem?.code}: ${problem?.detail}`);
}

async function create(name: string): Promise<Vm> {
  const { data, error } = await client.POST("/v1/vms", { body: { name, image: "debian:12", keys: [KEY] } });
  if (data === undefined) throw refused("create", error);
  return data;
}

async function wait(vm: string, status: "RUNNING" | "DELETED"): Promise<Vm | undefined> {
  const { data, error } = await client.GET("/v1/vms/{vm}/wait", {
    params: { path: { vm }, query: { for: status, timeout: LIMIT_SECONDS } },
  });
  if (data === undefined) throw refused("wait", error);
  if (!data.reached) throw new Error(`${vm} is not ${status} after ${LIMIT_SECONDS} s`);
  return data.vm ?? undefined;
}

async function remove(vm: string): Promise<void> {
  const { data, error } = await client.DELETE("/v1/vms/{vm}", { params: { path: { vm } } });
  if (data === undefined) throw refused("delete", error);
  await wait(vm, "DELETED");
}

const created = await create("typescript");
const vm = await wait(created.id, "RUNNING");
if (vm?.memory_bytes !== created.memory_bytes || vm.id !== created.id) throw new Error("it is another VM");
await remove(vm.id);

const { error, response } = await client.POST("/v1/vms", { body: { name: "No Name", image: "debian:12", keys: [KEY] } });
if (response.status !== 422 || error?.code !== "invalid_value" || error.pointer !== "/name") {
  throw refused("a bad name", error);
}
