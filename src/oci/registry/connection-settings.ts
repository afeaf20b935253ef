import type { Advice, ConnectionSettings } from "../../http/settings.ts";
import type { RegistryConfiguration } from "./types.ts";

const ADVICE: Advice = {
  certificate:
    "put the authority's certificate into /etc/containers/certs.d/HOST/ca.crt, or mark the registry as insecure in registries.conf",
  handshake:
    "if it speaks plain HTTP, mark the registry as insecure in registries.conf; it may also want a client certificate in certs.d",
  closed: "check the network; if the registry speaks plain HTTP, mark it as insecure in registries.conf",
  unknownHost: "check the name of the registry and the network",
};

/** How connections to registries are made. */
export function connectionsTo(configuration: RegistryConfiguration): ConnectionSettings {
  return {
    tls: (host) => configuration.tls(host),
    proxy: (url) => configuration.proxy(url),
    advice: ADVICE,
  };
}
