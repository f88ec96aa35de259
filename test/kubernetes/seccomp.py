"""The seccomp profile that a container runtime has as its own, which RuntimeDefault asks for: that of Debian's containers-common."""

import ctypes
import json

PROFILE = "/usr/share/containers/seccomp.json"
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_OPERATORS = {"SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_ALREADY_THE_DEFAULT = 13


class _Argument(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint), ("operator", ctypes.c_int), ("value", ctypes.c_uint64), ("second", ctypes.c_uint64)]


class Filter:
    """Of a container with these capabilities, for this machine's own system calls. Made where the profile can be read, loaded later."""

    def __init__(self, capabilities, machine):
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        with open(PROFILE, encoding="utf-8") as text:
            profile = json.load(text)
        self._context = ctypes.c_void_p(self._library.seccomp_init(_ERRNO | profile["defaultErrnoRet"]))
        mine = {"caps": {f"CAP_{name}" for name in capabilities}, "arches": {_ARCHITECTURES[machine]}}
        for rule in profile["syscalls"]:
            wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
            if (set(wanted.get("caps", [])) <= mine["caps"] and mine["arches"] & set(wanted.get("arches", mine["arches"]))
                    and not any(mine[kind] & set(unwanted.get(kind, [])) for kind in mine)):
                self._add(rule)

    def _add(self, rule):
        action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule["errnoRet"]
        arguments = [_Argument(each["index"], _OPERATORS[each["op"]], each["value"], each["valueTwo"]) for each in rule.get("args") or []]
        for name in rule["names"]:
            number = self._library.seccomp_syscall_resolve_name(name.encode())
            if number < 0:
                continue  # None of this kind of machine.
            code = self._library.seccomp_rule_add_array(self._context, ctypes.c_uint32(action), number, len(arguments),
                                                        (_Argument * len(arguments))(*arguments))
            if code not in (0, -_ALREADY_THE_DEFAULT):
                raise OSError(-code, f"the seccomp rule for {name}")

    def load(self):
        """From now on, for this process and what becomes of it, which gets no more privileges by that."""
        code = self._library.seccomp_load(self._context)
        if code != 0:
            raise OSError(-code, "seccomp_load")
