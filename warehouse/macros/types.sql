{# The warehouse's type for a declared PostgreSQL type. `type` is {base, precision, scale, array}. #}
{% macro column_type(type) %}{{ return(adapter.dispatch('column_type', 'millrace')(type)) }}{% endmacro %}

{% macro default__column_type(type) %}
  {%- set base = type.base -%}
  {%- if base == 'numeric' and type.precision -%}
    {%- set base = 'numeric(' ~ type.precision ~ ',' ~ (type.scale or 0) ~ ')' -%}
  {%- elif base in ['char', 'varchar'] -%}
    {%- set base = 'text' -%}
  {%- endif -%}
  {{ return(base ~ ('[]' if type.array else '')) }}
{% endmacro %}

{% macro duckdb__column_type(type) %}
  {%- set plain = {
    'smallint': 'smallint', 'integer': 'integer', 'bigint': 'bigint', 'real': 'real', 'double precision': 'double',
    'boolean': 'boolean', 'uuid': 'uuid'
  } -%}
  {%- if type.array -%}{{ return(plain.get(type.base, 'varchar') ~ '[]') }}{%- endif -%}
  {%- set more = {
    'date': 'date', 'time': 'time', 'timestamp': 'timestamp', 'timestamptz': 'timestamptz', 'json': 'json',
    'jsonb': 'json', 'bytea': 'blob'
  } -%}
  {%- if type.base == 'numeric' and type.precision and type.precision <= 38 -%}
    {{ return('decimal(' ~ type.precision ~ ',' ~ (type.scale or 0) ~ ')') }}
  {%- endif -%}
  {{ return(plain.get(type.base, more.get(type.base, 'varchar'))) }}
{% endmacro %}

{% macro snowflake__column_type(type) %}
  {%- if type.array -%}{{ return('array') }}{%- endif -%}
  {#- A scale is 37 at most: https://docs.snowflake.com/en/sql-reference/data-types-numeric (2026-11-27) -#}
  {%- if type.base == 'numeric' and type.precision and type.precision <= 38 and (type.scale or 0) <= 37 -%}
    {{ return('number(' ~ type.precision ~ ',' ~ (type.scale or 0) ~ ')') }}
  {%- endif -%}
  {%- set types = {
    'smallint': 'bigint', 'integer': 'bigint', 'bigint': 'bigint', 'real': 'float', 'double precision': 'float',
    'boolean': 'boolean', 'date': 'date', 'time': 'time', 'timestamp': 'timestamp_ntz', 'timestamptz': 'timestamp_tz',
    'json': 'variant', 'jsonb': 'variant', 'bytea': 'binary'
  } -%}
  {{ return(types.get(type.base, 'varchar')) }}
{% endmacro %}

{#
  Debezium's text for a value, as PostgreSQL would write it. Infinities of dates and of timestamps without a zone come as
  the instants that the driver has for them (a streamed date's has overflowed), and both with a Z that is not theirs.
#}
{% macro postgres_text(text, base) %}
  {%- if base == 'numeric' -%}
    {{ return("case " ~ text ~ " when 'NAN' then 'NaN' when 'POSITIVE_INFINITY' then 'Infinity' when 'NEGATIVE_INFINITY' then '-Infinity' else " ~ text ~ " end") }}
  {%- elif base in ['date', 'timestamp', 'timestamptz'] -%}
    {%- set bare = text if base == 'timestamptz' else "replace(replace(" ~ text ~ ", 'Z', ''), 'T', ' ')" -%}
    {{ return("case when " ~ text ~ " like '+294247-01-10%' or " ~ text ~ " like '+292278994-%' or " ~ text ~ " like '-5877611-06-21%' then 'infinity' when " ~ text ~ " like '-290308-12-21%' or " ~ text ~ " like '-292275055-%' then '-infinity' else " ~ bare ~ " end") }}
  {%- elif base == 'time' -%}
    {{ return("replace(" ~ text ~ ", 'Z', '')") }}
  {%- endif -%}
  {{ return(text) }}
{% endmacro %}

{#
  A column of a declared type out of JSON. What its type cannot hold is null, and _cdc_specials has its text. PostgreSQL
  fails on it: before version 16 it has no way to ask (pg_input_is_valid), and it holds all of its own types' values.
#}
{% macro typed(path, type, document='record') %}{{ return(adapter.dispatch('typed', 'millrace')(path, type, document)) }}{% endmacro %}

{% macro default__typed(path, type, document) %}
  {%- set text = millrace.json_text(path, document) -%}
  {%- set as_type = millrace.column_type(type) -%}
  {%- if type.array -%}
    {%- set element = millrace.postgres__era(millrace.postgres_text('e', type.base), type.base) -%}
    {%- if type.base == 'bytea' -%}{%- set element = "decode(e, 'base64')" -%}{%- endif -%}
    {{ return("case when left(" ~ text ~ ", 1) = '[' then array(select cast(" ~ element ~ " as " ~ as_type[:-2] ~ ") from json_array_elements_text(cast(" ~ text ~ " as json)) as elements(e)) end") }}
  {%- endif -%}
  {%- if type.base == 'bytea' -%}{{ return("decode(" ~ text ~ ", 'base64')") }}{%- endif -%}
  {{ return('cast(' ~ millrace.postgres__era(millrace.postgres_text(text, type.base), type.base) ~ ' as ' ~ as_type ~ ')') }}
{% endmacro %}

{# ISO 8601 has a sign before years of more than four digits and before Christ; PostgreSQL writes BC. #}
{% macro postgres__era(text, base) %}
  {%- if base not in ['date', 'timestamp', 'timestamptz'] -%}{{ return(text) }}{%- endif -%}
  {{ return("(select case when t ~ '^-\\d' then lpad((cast(substring(t from '^-(\\d+)') as integer) + 1)::text, 4, '0') || substring(t from '^-\\d+(.*)$') || ' BC' when t like '0000-%' then '0001' || substr(t, 5) || ' BC' else ltrim(t, '+') end from (select " ~ text ~ " as t) as written)") }}
{% endmacro %}

{% macro duckdb__typed(path, type, document) %}
  {%- set text = millrace.json_text(path, document) -%}
  {%- set as_type = millrace.column_type(type) -%}
  {%- if type.array -%}
    {{ return('try_cast(' ~ millrace.json_value(path, document) ~ ' as ' ~ as_type ~ ')') }}
  {%- elif type.base == 'bytea' -%}
    {{ return('from_base64(' ~ text ~ ')') }}
  {%- endif -%}
  {{ return('try_cast(' ~ millrace.postgres_text(text, type.base) ~ ' as ' ~ as_type ~ ')') }}
{% endmacro %}

{% macro snowflake__typed(path, type, document) %}
  {%- set text = millrace.json_text(path, document) -%}
  {%- set as_type = millrace.column_type(type) -%}
  {%- if type.array -%}
    {{ return('cast(' ~ millrace.json_value(path, document) ~ ' as array)') }}
  {%- elif type.base in ['json', 'jsonb'] -%}
    {{ return('try_parse_json(' ~ text ~ ')') }}
  {%- elif type.base == 'bytea' -%}
    {{ return('base64_decode_binary(' ~ text ~ ')') }}
  {%- elif as_type == 'varchar' -%}
    {{ return(millrace.postgres_text(text, type.base)) }}
  {%- endif -%}
  {{ return('try_cast(' ~ millrace.postgres_text(text, type.base) ~ ' as ' ~ as_type ~ ')') }}
{% endmacro %}

{# Whether PostgreSQL may store the type's values apart (TOAST), so that a change that leaves them alone lacks them. #}
{% macro is_toastable(type) %}
  {{ return(type.array or type.base in ['text', 'varchar', 'char', 'json', 'jsonb', 'bytea'] or (type.base == 'numeric' and not type.precision)) }}
{% endmacro %}

{# Debezium's stand-in for such a value, in each of its forms: text, bytes, and arrays of texts, bytes or numbers. #}
{% macro is_unavailable(path) %}
  {%- set numbers = '[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]' -%}
  {%- set bytes = 'X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==' -%}
  {{ return("coalesce(replace(" ~ millrace.json_text(path) ~ ", ' ', '') in ('__debezium_unavailable_value', '[\"__debezium_unavailable_value\"]', '" ~ bytes ~ "', '[\"" ~ bytes ~ "\"]', '" ~ numbers ~ "'), false)") }}
{% endmacro %}
