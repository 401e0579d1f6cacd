"""dxc.py LIBRARY FOLDER: compiles every NAME.PROFILE.hlsl in FOLDER by DXC, the compiler of DX12, with wgpu's options.

LIBRARY is libdxcompiler.so. Its interfaces are tables of functions (dxcapi.h of DXC).
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL, CFUNCTYPE, POINTER, Structure, byref, c_int32, c_size_t, c_uint32, c_void_p, c_wchar_p, cast
from ctypes import create_string_buffer, string_at
from pathlib import Path
from uuid import UUID

COMPILER_CLASS = UUID("73e22d93-e6ce-47f3-b5bf-f0664f39c1b0").bytes_le
COMPILER = UUID("228b4687-5a6a-4730-900c-9702b2203f54").bytes_le
RESULT = UUID("58346cda-dde7-4497-9461-6f87af5e0659").bytes_le

# Places in the tables: IUnknown, with two entries for its destructor at 3; IDxcCompiler3; IDxcOperationResult; IDxcBlob.
RELEASE, COMPILE, GET_STATUS, GET_ERRORS, GET_POINTER, GET_SIZE = 2, 5, 5, 7, 5, 6


class Buffer(Structure):
    _fields_ = [("pointer", c_void_p), ("size", c_size_t), ("encoding", c_uint32)]


def call(this, place, *arguments, returns=c_int32, types=()):
    table = cast(cast(this, POINTER(c_void_p))[0], POINTER(c_void_p))
    return CFUNCTYPE(returns, c_void_p, *types)(table[place])(this, *arguments)


def compile_file(library, path):
    """Errors of DXC, empty if it accepts the source."""
    profile = path.name.split(".")[-2]
    options = ["-E", "main", "-T", profile, "-HV", "2018", "-no-warnings"]
    options += ["-enable-16bit-types"] if profile >= "cs_6_2" else []
    compiler, result, errors, status = c_void_p(), c_void_p(), c_void_p(), c_int32()
    if library.DxcCreateInstance(COMPILER_CLASS, COMPILER, byref(compiler)) != 0:
        return "DXC has no IDxcCompiler3"
    source = path.read_bytes()
    text = create_string_buffer(source)
    buffer = Buffer(cast(text, c_void_p), len(source), 65001)
    words = (c_wchar_p * len(options))(*options)
    types = (c_void_p, c_void_p, c_uint32, c_void_p, c_void_p, c_void_p)
    failed = call(compiler, COMPILE, byref(buffer), words, len(options), None, RESULT, byref(result), types=types)
    if failed == 0:
        call(result, GET_STATUS, byref(status), types=(c_void_p,))
        call(result, GET_ERRORS, byref(errors), types=(c_void_p,))
    message = ""
    if errors:
        pointer = call(errors, GET_POINTER, returns=c_void_p)
        message = string_at(pointer, call(errors, GET_SIZE, returns=c_size_t)).decode(errors="replace").strip("\0\n")
    for interface in filter(None, (errors, result, compiler)):
        call(interface, RELEASE, returns=c_uint32)
    return "" if failed == status.value == 0 else message or f"status {failed or status.value}"


def main():
    library = CDLL(sys.argv[1])
    files = sorted(Path(sys.argv[2]).glob("*.hlsl"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda path: compile_file(library, path), files))
    for path, message in zip(files, found):
        if message:
            print(f"{path.name}: {message}")
    print(f"{found.count('')} accepted")


main()
