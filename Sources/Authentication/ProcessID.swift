import Glibc

func currentProcessID() -> Int32 { getpid() }
