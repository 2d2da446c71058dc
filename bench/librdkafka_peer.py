"""What a team would run in a container: confluent-kafka, fastavro and psycopg, in batches. Drains the topic each time it is told to.

stdin: one JSON document a line, {"address", "topic", "group", "records", "url", "schema", "frame", "batch"}; stdout: a line for each when it is done.
"""

import io
import json
import sys
from datetime import datetime, timezone

import fastavro
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

UPSERT_ARTICLES = """
  INSERT INTO article_minute AS t (content_id, minute, views, engaged_ms)
  SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::bigint[], %s::bigint[])
  ON CONFLICT (content_id, minute) DO UPDATE SET
    views = t.views + excluded.views, engaged_ms = t.engaged_ms + excluded.engaged_ms"""
UPSERT_SESSIONS = """
  INSERT INTO session_engagement AS t (session_id, first_seen, last_seen, pageviews, engaged_ms, last_minute)
  SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::timestamptz[])
  ON CONFLICT (session_id) DO UPDATE SET
    first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen),
    last_minute = greatest(t.last_minute, excluded.last_minute), pageviews = t.pageviews + excluded.pageviews,
    engaged_ms = t.engaged_ms + excluded.engaged_ms"""


def moment(ms):
    return datetime.fromtimestamp(ms / 1000, timezone.utc)


def flush(connection, values):
    articles = {}
    sessions = {}
    for value in values:
        # fastavro makes a datetime of timestamp-millis.
        at = round(value["occurredAt"].timestamp() * 1000)
        minute = at - at % 60_000
        article = articles.setdefault((value["contentId"], minute), [0, 0])
        article[0] += 1
        article[1] += value["engagedMs"]
        session = sessions.setdefault(value["sessionId"], [at, at, 0, 0])
        session[0] = min(session[0], at)
        session[1] = max(session[1], at)
        session[2] += 1
        session[3] += value["engagedMs"]
    with connection.transaction():
        rows = [(key[0], moment(key[1]), *row) for key, row in articles.items()]
        connection.execute(UPSERT_ARTICLES, [list(column) for column in zip(*rows)])
        rows = [
            (key, moment(row[0]), moment(row[1]), *row[2:], moment(row[1] - row[1] % 60_000))
            for key, row in sessions.items()
        ]
        connection.execute(UPSERT_SESSIONS, [list(column) for column in zip(*rows)])


def drain(task):
    schema = fastavro.parse_schema(json.loads(task["schema"]))
    consumer = Consumer(
        {
            "bootstrap.servers": task["address"],
            "group.id": task["group"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([task["topic"]])
    left = task["records"]
    with psycopg.connect(task["url"], autocommit=True) as connection:
        while left > 0:
            messages = consumer.consume(task["batch"], timeout=0.5)
            for message in messages:
                if message.error():
                    raise KafkaException(message.error())
            if not messages:
                continue
            frame = task["frame"]
            flush(
                connection,
                [fastavro.schemaless_reader(io.BytesIO(m.value()[frame:]), schema) for m in messages],
            )
            ends = {m.partition(): m.offset() + 1 for m in messages}
            consumer.commit(
                offsets=[TopicPartition(task["topic"], p, offset) for p, offset in ends.items()],
                asynchronous=False,
            )
            left -= len(messages)
    consumer.close()


for line in sys.stdin:
    drain(json.loads(line))
    print("done", flush=True)
