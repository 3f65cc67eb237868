// create → wait → delete with the client that openapi-typescript and openapi-fetch make of the document.

import createClient from "openapi-fetch";

import type { components, paths } from "./schema.ts";

type Vm = components["schemas"]["Vm"];
type Problem = components["schemas"]["Problem"];

const LIMIT_MS = 30_000;
const PAUSE_MS = 50;
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN01b3hosV/xotUftL4DrHvZQ+L4cgFDuAKjFLIxlnmu me";

const url = process.env["PITWALL_URL"];
const token = process.env["PITWALL_TOKEN"];
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

function refused(what: string, problem: Problem | undefined): Error {
  return new Error(`${what}: ${problem?.code}: ${problem?.detail}`);
}

/** Looks until something holds. */
async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + LIMIT_MS;
  while (Date.now() < end) {
    const seen = await look();
    if (seen !== undefined) return seen;
    await new Promise((resume) => setTimeout(resume, PAUSE_MS));
  }
  throw new Error(`${what} within ${LIMIT_MS} ms`);
}

async function create(name: string): Promise<Vm> {
  const { data, error } = await client.POST("/v1/vms", { body: { name, image: "debian:12", keys: [KEY] } });
  if (data === undefined) throw refused("create", error);
  return data;
}

async function running(vm: string): Promise<Vm> {
  return until(`${vm} is RUNNING`, async () => {
    const { data, error } = await client.GET("/v1/vms/{vm}", { params: { path: { vm } } });
    if (data === undefined) throw refused("get", error);
    return data.status === "RUNNING" ? data : undefined;
  });
}

async function remove(vm: string): Promise<void> {
  const { data, error } = await client.DELETE("/v1/vms/{vm}", { params: { path: { vm } } });
  if (data === undefined) throw refused("delete", error);
  await until(`${vm} is gone`, async () => {
    const { error, response } = await client.GET("/v1/vms/{vm}", { params: { path: { vm } } });
    if (response.status === 404 && error?.code === "not_found") return true;
    return undefined;
  });
}

const created = await create("typescript");
const vm = await running(created.id);
if (vm.memory_bytes !== created.memory_bytes || vm.id !== created.id) throw new Error("it is another VM");
await remove(vm.id);

const { error, response } = await client.POST("/v1/vms", { body: { name: "No Name", image: "debian:12", keys: [KEY] } });
if (response.status !== 422 || error?.code !== "invalid_value" || error.pointer !== "/name") {
  throw refused("a bad name", error);
}
