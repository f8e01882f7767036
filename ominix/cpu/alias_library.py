"""A shared library of jumps: other names for functions that are loaded already.

Written into memory as an ELF file of a few hundred bytes and opened with its names visible to every
library that is loaded later. Linux on x86-64 and aarch64, ABI as in the ELF-64 specification. Knows
nothing of what the functions do.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_MACHINE = {"x86_64": 62, "aarch64": 183}  # e_machine
_FILE_HEADER, _PROGRAM_HEADER, _SYMBOL, _DYNAMIC, _JUMP = 64, 56, 24, 16, 16  # bytes of one entry


def expose(addresses: dict[str, int]) -> None:
    """Make each name a global symbol that jumps to its address. OSError where that is barred."""
    if sys.platform != "linux" or platform.machine() not in _MACHINE:
        raise OSError(f"no jump code for {sys.platform} on {platform.machine()}")
    # Never closed: the loader knows libraries by their path, and a second one must not have the same.
    file = os.memfd_create("ominix-aliases")
    os.write(file, _library(addresses))
    ctypes.CDLL(f"/proc/self/fd/{file}", ctypes.RTLD_GLOBAL)


def _library(addresses: dict[str, int]) -> bytes:
    """One segment of headers, symbols, hash table, names, dynamic table and code, in this order."""
    n = len(addresses) + 1  # symbol 0 is the null symbol
    names = b"\0" + b"".join(name.encode() + b"\0" for name in addresses)
    at_symbols = _FILE_HEADER + 3 * _PROGRAM_HEADER
    at_hash = at_symbols + n * _SYMBOL
    at_names = at_hash + 4 * (3 + n)
    at_dynamic = _aligned(at_names + len(names))
    at_code = at_dynamic + 6 * _DYNAMIC
    size = at_code + len(addresses) * _JUMP

    table = [(4, at_hash), (5, at_names), (6, at_symbols), (10, len(names)), (11, _SYMBOL), (0, 0)]
    code = b"".join(_jump(address) for address in addresses.values())
    parts = (
        _headers(size, at_dynamic),
        _symbols(addresses, at_code),
        # One bucket whose chain visits every symbol: 1 -> 2 -> ... -> n - 1 -> end.
        struct.pack(f"<3I{n}I", 1, n, 1, 0, *range(2, n), 0),
        names.ljust(at_dynamic - at_names, b"\0"),
        b"".join(struct.pack("<2Q", *entry) for entry in table),
        code,
    )
    return b"".join(parts)


def _headers(size: int, at_dynamic: int) -> bytes:
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
    # ET_DYN, three program headers, no sections
    head = struct.pack("<2HI3QI6H", 3, _MACHINE[platform.machine()], 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    length = size - at_dynamic
    load = struct.pack("<2I6Q", 1, 5, 0, 0, 0, size, size, 0x10000)  # PT_LOAD, read and execute
    dynamic = struct.pack("<2I6Q", 2, 4, at_dynamic, at_dynamic, at_dynamic, length, length, 8)
    stack = struct.pack("<2I6Q", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)  # PT_GNU_STACK: not executable
    return ident + head + load + dynamic + stack


def _symbols(addresses: dict[str, int], at_code: int) -> bytes:
    table, at_name = bytes(_SYMBOL), 1
    for i, name in enumerate(addresses):
        # STB_GLOBAL | STT_FUNC, in "section" 1: any number but 0, which would mean undefined
        table += struct.pack("<I2BH2Q", at_name, 0x12, 0, 1, at_code + i * _JUMP, _JUMP)
        at_name += len(name.encode()) + 1
    return table


def _jump(address: int) -> bytes:
    if platform.machine() == "x86_64":
        code = b"\x48\xb8" + struct.pack("<Q", address) + b"\xff\xe0"  # movabs rax, address; jmp rax
    else:
        code = struct.pack("<2IQ", 0x58000050, 0xD61F0200, address)  # ldr x16, 8; br x16; address
    return code.ljust(_JUMP, b"\xcc")


def _aligned(offset: int) -> int:
    return (offset + 15) // 16 * 16
