"""A program of its own that downloads files: `download.py FOLDER URL SHA256 [URL SHA256]…`.

It runs in a child process, so that a deadline holds even where a name server or a proxy hangs, and
so that nothing of it stays behind. pooch compares each checksum before a file gets its name, which
is the last part of its address.
"""

import sys


def main(folder: str, *pairs: str) -> None:
    """Download each address of `pairs` (address, checksum, address, …) into `folder`."""
    import pooch

    pooch.get_logger().setLevel("ERROR")
    for url, checksum in zip(pairs[0::2], pairs[1::2], strict=True):
        pooch.retrieve(
            url,
            known_hash=f"sha256:{checksum}",
            fname=url.rsplit("/", 1)[-1],
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=10),
        )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        # The parent shows this line; whatever went wrong, it is the network's or the mirror's.
        cause: BaseException = error
        while cause.__context__ is not None:
            cause = cause.__context__
        sys.exit(f"{type(cause).__name__}: {cause}")
