import type { OptionSpec } from "../tree.ts";

/** Of every command that talks to a registry. */
export const REGISTRY_OPTIONS: readonly OptionSpec[] = [
  {
    name: "authfile",
    kind: "string",
    value: "FILE",
    notEmpty: true,
    help: "File with credentials (containers-auth.json(5)), read before those of the user",
  },
  {
    name: "cert-dir",
    kind: "string",
    value: "DIR",
    notEmpty: true,
    help: "Directory with *.crt, *.cert and *.key for registries, instead of certs.d (containers-certs.d(5))",
  },
  {
    name: "no-tls-verify",
    kind: "boolean",
    help: "Accept registries with invalid certificates and without TLS",
  },
];
