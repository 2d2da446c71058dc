"""What `millrace warehouse` does with a warehouse's own client, in lines of JSON over stdin and stdout.

load: first the sources' names, answered with the objects loaded already, of each partition's newest day; then the new
objects as files, answered with the rows loaded. Rows and the note of their object are one transaction. DuckDB and
PostgreSQL only.
query: each line is a query, answered with its rows as lists of texts, and null.
"""

import base64
import gzip
import json
import os
import re
import sys
from datetime import datetime, timezone

NAME = re.compile(r"^[a-z_][a-z0-9_]{0,62}$")


class DuckDb:
    # The largest record with its headers, and room: DuckDB allocates this much for a file.
    LARGEST_RECORD = 64 * 1024 * 1024

    def __init__(self):
        import duckdb

        self.connection = duckdb.connect(os.environ.get("MILLRACE_DUCKDB_PATH", "warehouse.duckdb"))
        self.run("set timezone = 'UTC'")

    def run(self, sql, values=()):
        return self.connection.execute(sql, values)

    def rows(self, sql, values=()):
        return self.run(sql, values).fetchall()

    def load(self, table, objects, now):
        files = {each["path"]: each["key"] for each in objects}
        self.run("create or replace temp table files (path varchar, key varchar)")
        self.connection.executemany("insert into files values (?, ?)", list(files.items()))
        [(count,)] = self.rows(
            f"insert into {table} select o.json, f.key, cast(? as timestamp) from "
            "read_ndjson_objects(?, filename = true, compression = 'gzip', maximum_object_size = "
            f"{self.LARGEST_RECORD}) o join files f on f.path = o.filename",
            (now, list(files)),
        )
        return count


class Postgres:
    def __init__(self):
        import psycopg2

        env = os.environ.get
        self.connection = psycopg2.connect(
            host=env("MILLRACE_WAREHOUSE_HOST", "localhost"),
            port=env("MILLRACE_WAREHOUSE_PORT", "5432"),
            dbname=env("MILLRACE_WAREHOUSE_DATABASE", "warehouse"),
            user=env("MILLRACE_WAREHOUSE_USER", "millrace"),
            password=env("MILLRACE_WAREHOUSE_PASSWORD", ""),
        )
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.run("set timezone = 'UTC'")
        self.run("set intervalstyle = 'iso_8601'")

    def run(self, sql, values=()):
        self.cursor.execute(sql.replace("?", "%s") if values else sql, values or None)
        return self.cursor

    def rows(self, sql, values=()):
        return self.run(sql, values).fetchall()

    def load(self, table, objects, now):
        count = 0
        for each in objects:
            self.cursor.copy_expert(f"copy {table} (record, object, loaded_at) from stdin", Lines(each, now))
            count += self.cursor.rowcount
        return count


class Lines:
    """An object's rows as COPY's text, a piece at a time."""

    def __init__(self, each, now):
        self.lines = gzip.open(each["path"], "rt", encoding="utf-8", newline="\n")
        self.end = f"\t{escaped(each['key'])}\t{now}\n"
        self.text = ""

    def read(self, size=-1):
        while len(self.text) < size:
            line = self.lines.readline()
            if not line:
                break
            self.text += escaped(line.rstrip("\n")) + self.end
        piece, self.text = self.text[:size], self.text[size:]
        return piece


def escaped(text):
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def answer(value):
    print(json.dumps(value), flush=True)


class Snowflake:
    def __init__(self):
        import snowflake.connector

        env = os.environ.get
        options = {
            "account": env("SNOWFLAKE_ACCOUNT"),
            "user": env("SNOWFLAKE_USER"),
            "role": env("SNOWFLAKE_ROLE", "MILLRACE"),
            "warehouse": env("SNOWFLAKE_WAREHOUSE", "MILLRACE"),
            "database": env("SNOWFLAKE_DATABASE", "MILLRACE"),
            "login_timeout": 30,
            "network_timeout": 120,
        }
        # PrivateLink has a host of its own.
        for name in ["host", "port", "protocol", "password"]:
            if env("SNOWFLAKE_" + name.upper()):
                options[name] = env("SNOWFLAKE_" + name.upper())
        if env("SNOWFLAKE_PRIVATE_KEY"):
            options["private_key"] = der_of(env("SNOWFLAKE_PRIVATE_KEY"))
        self.connection = snowflake.connector.connect(**options)

    def run(self, sql):
        return self.connection.cursor().execute(sql)


def der_of(key):
    """A private key as Snowflake's client takes it: dbt takes PEM as well, and base64 of DER."""
    if not key.startswith("-----BEGIN"):
        return base64.b64decode(key)
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_private_key(key.encode(), None).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def open_database(target):
    return {"duckdb": DuckDb, "postgres": Postgres, "snowflake": Snowflake}[target]()


# A key is topics/<topic>/<epoch>/p<partition>/<date>/<name>. A partition's earlier days are complete.
NEWEST_DAYS = r"""
select o.source, o.object from {objects} o join (
  select source, max(regexp_replace(object, '[^/]+$', '')) as day from {objects}
  group by source, regexp_replace(object, '[^/]+/[^/]+$', '')
) newest on newest.source = o.source and newest.day = regexp_replace(o.object, '[^/]+$', '')
"""


def load(target):
    request = json.loads(sys.stdin.readline())
    schema, names = request["schema"], request["sources"]
    for name in [schema, *names]:
        if not NAME.match(name):
            raise SystemExit(f"{name!r} is no name of a raw table")
    database = open_database(target)
    database.run(f"create schema if not exists {schema}")
    record = "record json not null, object varchar, loaded_at timestamp not null"
    for name in names:
        database.run(f"create table if not exists {schema}.{name} ({record})")
    database.run(
        f"create table if not exists {schema}.loaded_objects "
        "(source varchar not null, object varchar not null, loaded_at timestamp not null, primary key (source, object))"
    )
    known = {name: [] for name in names}
    for source, key in database.rows(NEWEST_DAYS.format(objects=f"{schema}.loaded_objects")):
        known.setdefault(source, []).append(key)
    answer({"known": known})

    line = sys.stdin.readline()
    if not line:
        return
    now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat(sep=" ")
    rows = 0
    database.run("begin")
    for source in json.loads(line)["sources"]:
        objects = source["objects"]
        if not objects:
            continue
        rows += database.load(f"{schema}.{source['name']}", objects, now)
        for each in objects:
            # Another loader that came first makes this fail, and nothing of ours stays.
            database.run(
                f"insert into {schema}.loaded_objects values (?, ?, cast(? as timestamp))",
                (source["name"], each["key"], now),
            )
    database.run("commit")
    answer({"rows": rows})


def query(target):
    database = open_database(target)
    for line in sys.stdin:
        cursor = database.run(json.loads(line)["sql"])
        while rows := cursor.fetchmany(5_000):
            for row in rows:
                answer([None if value is None else str(value) for value in row])
        answer(None)


{"load": load, "query": query}[sys.argv[1]](sys.argv[2])
