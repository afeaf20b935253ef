/**
 * x86-64 code of `uint32_t features(void)`: EBX of CPUID leaf 7, or 0 where the kernel does not save the 512-bit
 * registers (XCR0).
 */
export const FEATURES_CODE = Uint8Array.of(
  ...[0x53], // push rbx
  ...[0xb8, 1, 0, 0, 0], // mov eax, 1
  ...[0x31, 0xc9], // xor ecx, ecx
  ...[0x0f, 0xa2], // cpuid
  ...[0x0f, 0xba, 0xe1, 27], // bt ecx, 27: OSXSAVE
  ...[0x73, 30], // jnc none
  ...[0x31, 0xc9], // xor ecx, ecx
  ...[0x0f, 0x01, 0xd0], // xgetbv
  ...[0x25, 0xe6, 0, 0, 0], // and eax, 0xe6: SSE, AVX, masks, both halves of the 512-bit registers
  ...[0x3d, 0xe6, 0, 0, 0], // cmp eax, 0xe6
  ...[0x75, 13], // jne none
  ...[0xb8, 7, 0, 0, 0], // mov eax, 7
  ...[0x31, 0xc9], // xor ecx, ecx
  ...[0x0f, 0xa2], // cpuid
  ...[0x89, 0xd8], // mov eax, ebx
  ...[0x5b], // pop rbx
  ...[0xc3], // ret
  ...[0x31, 0xc0], // none: xor eax, eax
  ...[0x5b], // pop rbx
  ...[0xc3], // ret
);

export const AVX512F = 1 << 16;
export const AVX512BW = 1 << 30;
