import { readPem } from "../../http/pem-file.ts";
import { claimProxyVariables, proxyFor } from "../../http/proxy.ts";
import type { Advice, ConnectionSettings, TlsFiles } from "../../http/settings.ts";
import type { RemoteSettings } from "./remote-settings.ts";

const ADVICE: Advice = {
  certificate:
    "have the machine trust the authority's certificate, or name it with tls-ca-path= in the configuration of the remote",
  handshake:
    "the server may speak plain http, or want a client certificate: see tls-client-cert-path= of the remote",
  closed: "check the network; the server may speak plain http",
  unknownHost: "check the URL and the network",
};

/** How connections to a remote are made. @throws CfsError Io, Invalid when its certificates can't be read */
export function connectionSettings({ proxy, tls }: RemoteSettings): ConnectionSettings {
  const variables = { ...process.env, ...claimProxyVariables() };
  const files = tlsFiles(tls);
  return {
    tls: () => files,
    proxy: (url) => proxy ?? proxyFor(url, variables),
    advice: ADVICE,
  };
}

function tlsFiles({ caPath, clientCertificate }: RemoteSettings["tls"]): TlsFiles {
  return {
    ...(caPath === undefined ? { ca: [] } : { ca: [readPem(caPath)], isComplete: true }),
    ...(clientCertificate && {
      cert: readPem(clientCertificate.certPath),
      key: readPem(clientCertificate.keyPath),
    }),
  };
}
