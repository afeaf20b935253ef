/** Buffer methods that Node.js and Bun have, without the encoding look-up, and @types/node leaves out. */
interface Buffer {
  latin1Slice(start?: number, end?: number): string;
  hexSlice(start?: number, end?: number): string;
  latin1Write(text: string, offset?: number, length?: number): number;
  hexWrite(text: string, offset?: number, length?: number): number;
}

/** Scripts that are part of the executable. */
declare module "*.bash" {
  const text: string;
  export default text;
}
declare module "*.zsh" {
  const text: string;
  export default text;
}
declare module "*.fish" {
  const text: string;
  export default text;
}
