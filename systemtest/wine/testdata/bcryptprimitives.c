/* What Wine 8 lacks, for the tests under Wine.
 *
 * Go's runtime takes its random numbers from ProcessPrng, which Windows has in
 * bcryptprimitives.dll and Wine 8 has not.
 *
 * Go's own tests remove their folders with os.RemoveAll. It asks for a delete
 * with POSIX semantics, and falls back to an older call where Windows says that
 * it does not know that: STATUS_INVALID_INFO_CLASS. Wine 8 does not know it
 * either, but says STATUS_NOT_IMPLEMENTED, and so nothing is removed. Where
 * KUBBI_WINE_TEST is set, the answer is the one of Windows. The program itself
 * runs without that: see internal/disk.
 */
#include <string.h>
#include <windows.h>
#include <winternl.h>

#define NOT_IMPLEMENTED ((NTSTATUS)0xC0000002)
#define INVALID_INFO_CLASS ((NTSTATUS)0xC0000003)

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG); /* RtlGenRandom */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
	while (size > 0) {
		ULONG piece = size > 1 << 30 ? 1 << 30 : (ULONG)size;

		if (!SystemFunction036(data, piece))
			return FALSE;
		data += piece;
		size -= piece;
	}
	return TRUE;
}

static NTSTATUS(NTAPI *wines)(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG, int);

static NTSTATUS NTAPI set_information(HANDLE file, PIO_STATUS_BLOCK io, PVOID info, ULONG size, int class)
{
	NTSTATUS status = wines(file, io, info, size, class);

	return status == NOT_IMPLEMENTED ? INVALID_INFO_CLASS : status;
}

/* Puts set_information in the place of ntdll's NtSetInformationFile. That is a
 * stub of 32 bytes which runs wherever it stands, so a copy of it still calls
 * Wine. */
BOOL WINAPI DllMain(HINSTANCE self, DWORD why, LPVOID reserved)
{
	static const BYTE start[] = { 0x4c, 0x8b, 0xd1, 0xb8 }; /* mov r10, rcx; mov eax, ... */
	BYTE jump[] = { 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0 }; /* mov rax, ...; jmp rax */
	void *target = set_information;
	BYTE *stub, *copy;
	DWORD old;

	if (why != DLL_PROCESS_ATTACH || !GetEnvironmentVariableA("KUBBI_WINE_TEST", NULL, 0))
		return TRUE;
	stub = (BYTE *)GetProcAddress(GetModuleHandleA("ntdll.dll"), "NtSetInformationFile");
	copy = VirtualAlloc(NULL, 32, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
	if (!stub || !copy || memcmp(stub, start, sizeof start) || !VirtualProtect(stub, 32, PAGE_EXECUTE_READWRITE, &old))
		return FALSE;
	memcpy(copy, stub, 32);
	wines = (void *)copy;
	memcpy(jump + 2, &target, sizeof target);
	memcpy(stub, jump, sizeof jump);
	return TRUE;
}
