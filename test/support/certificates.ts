import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "./project.ts";

const FOLDER = join(PROJECT, "fixtures", "registry");

/** Files of the test authority; see fixtures/registry/README.md. */
export const CERTIFICATES = {
  ca: join(FOLDER, "ca.pem"),
  serverCert: join(FOLDER, "server.pem"),
  serverKey: join(FOLDER, "server.key"),
  clientCert: join(FOLDER, "client.pem"),
  clientKey: join(FOLDER, "client.key"),
} as const;

/** PEM text of one of them. */
export const pem = (which: keyof typeof CERTIFICATES): string => readFileSync(CERTIFICATES[which], "utf8");
