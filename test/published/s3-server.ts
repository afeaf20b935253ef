import { createRequire } from "node:module";

/**
 * Runs a server with the interface of S3, that checks signatures, as a program: `DIRECTORY BUCKET`. Prints its port.
 * Two things in the server don't work with Bun and with OpenSSL 3, and are put right here.
 */
const require = createRequire(import.meta.url);

// What is signed of a request to a bucket is its path as it was sent, with the slash at its end.
const signature = require("@20minutes/s3rver/lib/signature/v4.js") as {
  getStringToSign: (request: { uri: string }, rest: unknown) => string;
};
const { getStringToSign } = signature;
signature.getStringToSign = (request, rest) =>
  getStringToSign({ ...request, uri: /^\/[^/]+$/.test(request.uri) ? `${request.uri}/` : request.uri }, rest);

// Tokens for the rest of a list are encrypted with DES, which there is no more. Nobody looks into them.
const crypto = require("node:crypto") as Record<string, unknown>;
const unchanged = { update: (text: string) => Buffer.from(text), final: () => Buffer.alloc(0) };
crypto.createCipheriv = () => unchanged;
crypto.createDecipheriv = () => unchanged;

const S3rver = require("@20minutes/s3rver") as new (
  options: object,
) => { run(): Promise<{ readonly port: number }> };
const [directory, bucket] = process.argv.slice(2) as [string, string];
const server = new S3rver({
  address: "127.0.0.1",
  port: 0,
  directory,
  silent: true,
  configureBuckets: [{ name: bucket, configs: [] }],
});
const { port } = await server.run();
process.stdout.write(`${port}\n`);
