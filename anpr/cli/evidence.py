"""`anpr evidence key|export|verify`: records with their pictures, signed by the box that saw them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from anpr.cli import exits
from anpr.cli.apart import open_to_read, read_apart
from anpr.cli.asking import DEFAULT_STORE, CaseOption, PurposeOption, StoreOption

app = typer.Typer(help="Evidence: signed records with their pictures.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def key(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Print the box's public key, to give away, and its fingerprint, which one reads out to compare."""
    from anpr.store.signing import PUBLIC, fingerprint, public_pem, read_public

    public = read_public(store / PUBLIC)
    pem = public_pem(public).decode()
    if as_json:
        print(json.dumps({"fingerprint": fingerprint(public), "public_key": pem}))
    else:
        print(f"{pem}fingerprint {fingerprint(public)}")


@app.command()
def export(
    context: typer.Context,
    record: Annotated[str, typer.Argument(metavar="ID", help="Of a sighting or a hit.")],
    into: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder that does not exist yet.")],
    purpose: PurposeOption,
    case: CaseOption,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write a record, its pictures and the proof to a new folder, which anybody can check without the box.

    Who asked and why is written to the audit log first.
    """
    read_apart(context, store, makes=into)
    from anpr.store.audit import Request
    from anpr.store.bundle import write_bundle
    from anpr.store.replacement import replacement_of

    with open_to_read(store) as opened:
        row, proof = opened.evidence_of(record)
        replacement = replacement_of(opened.root, opened.partitions, proof.seq)
        opened.audit.append(Request("evidence", purpose, case, {"id": record, "folder": str(into)}), rows=1)
        names = write_bundle(into, row, proof, opened.evidence, replacement=replacement)
    print("\n".join(str(into / name) for name in names))


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of one record, as export made it.")],
    key: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The box's public key, from elsewhere; each, if it has had several."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that nothing was altered since the box stored it; needs no box and no network. Exit code 1 if it was."""
    import msgspec

    from anpr.cli.lines import printable
    from anpr.store.bundle import verify_bundle

    verdict = verify_bundle(folder, keys=key or ())
    if as_json:
        told = {
            "problems": list(verdict.problems),
            "fingerprint": verdict.fingerprint,
            "key_given": bool(key),
            "event": verdict.record,
            "pseudonymised_at": verdict.pseudonymised_at,
        }
        print(msgspec.json.encode(told).decode())  # what is in a record is the signer's, and may be anything
    else:
        for problem in verdict.problems:
            print(printable(f"✖ {problem}"))
        if not verdict.problems:
            record = verdict.record["record"]
            said = f"{record.get('display', '')} at {record.get('camera_id', '')} of box {verdict.record['box']}"
            print(printable(f"✔ unaltered: {said}, event {verdict.record['seq']}"))
            if verdict.pseudonymised_at:
                print(
                    printable(f"its plate gave way to a pseudonym at {verdict.pseudonymised_at}; its pictures are gone")
                )
        if verdict.fingerprint:
            print(f"signed by the key {verdict.fingerprint}")
        if not key:
            print("whose key that is you must know: compare it with the box's, or give --key")
    raise typer.Exit(exits.FINDINGS if verdict.problems else exits.OK)
