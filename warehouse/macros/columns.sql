{# A column's name, so that a word that the warehouse reserves is usable, and a query without quotes finds it. #}
{% macro column(name) %}{{ return(adapter.dispatch('column', 'millrace')(name)) }}{% endmacro %}
{% macro default__column(name) %}{{ return('"' ~ name | lower ~ '"') }}{% endmacro %}
{% macro snowflake__column(name) %}{{ return('"' ~ name | upper ~ '"') }}{% endmacro %}

{# What is kept beside a column that TOAST can leave out: the position of the change whose value it has. #}
{% macro position_column(name) %}
  {%- set full = '_cdc_at_' ~ name | lower -%}
  {{ return(millrace.column(full if full | length <= 63 else full[:50] ~ '_' ~ local_md5(name)[:12])) }}
{% endmacro %}
{% macro sent_column(name) %}
  {%- set full = '_cdc_sent_' ~ name | lower -%}
  {{ return(millrace.column(full if full | length <= 63 else full[:50] ~ '_' ~ local_md5(name)[:12])) }}
{% endmacro %}

{# Text at a path of the record's JSON; null where there is nothing, or JSON's null. #}
{% macro json_text(path, document='record') %}{{ return(adapter.dispatch('json_text', 'millrace')(path, document)) }}{% endmacro %}
{% macro default__json_text(path, document) %}
  {%- set steps = [] -%}
  {%- for step in path[:-1] -%}{%- do steps.append(" -> '" ~ step ~ "'") -%}{%- endfor -%}
  {{ return('(' ~ document ~ steps | join('') ~ " ->> '" ~ path[-1] ~ "')") }}
{% endmacro %}
{% macro duckdb__json_text(path, document) %}
  {%- set steps = [] -%}
  {%- for step in path -%}{%- do steps.append('."' ~ step ~ '"') -%}{%- endfor -%}
  {{ return('json_extract_string(' ~ document ~ ", '$" ~ steps | join('') ~ "')") }}
{% endmacro %}
{% macro snowflake__json_text(path, document) %}
  {{ return(millrace.snowflake__json_value(path, document) ~ '::varchar') }}
{% endmacro %}

{# The JSON itself at a path. #}
{% macro json_value(path, document='record') %}{{ return(adapter.dispatch('json_value', 'millrace')(path, document)) }}{% endmacro %}
{% macro default__json_value(path, document) %}
  {%- set steps = [] -%}
  {%- for step in path -%}{%- do steps.append(" -> '" ~ step ~ "'") -%}{%- endfor -%}
  {{ return('(' ~ document ~ steps | join('') ~ ')') }}
{% endmacro %}
{% macro duckdb__json_value(path, document) %}
  {%- set steps = [] -%}
  {%- for step in path -%}{%- do steps.append('."' ~ step ~ '"') -%}{%- endfor -%}
  {{ return('json_extract(' ~ document ~ ", '$" ~ steps | join('') ~ "')") }}
{% endmacro %}
{% macro snowflake__json_value(path, document) %}
  {%- set steps = [] -%}
  {%- for step in path -%}{%- do steps.append(':"' ~ step ~ '"') -%}{%- endfor -%}
  {{ return(document ~ steps | join('')) }}
{% endmacro %}

{# A text that holds JSON, as JSON: the record's key. #}
{% macro parsed_json(text) %}{{ return(adapter.dispatch('parsed_json', 'millrace')(text)) }}{% endmacro %}
{% macro default__parsed_json(text) %}{{ return('cast(' ~ text ~ ' as json)') }}{% endmacro %}
{% macro snowflake__parsed_json(text) %}{{ return('try_parse_json(' ~ text ~ ')') }}{% endmacro %}

{% macro now_utc() %}{{ return(adapter.dispatch('now_utc', 'millrace')()) }}{% endmacro %}
{% macro default__now_utc() %}{{ return("(current_timestamp at time zone 'UTC')") }}{% endmacro %}
{% macro snowflake__now_utc() %}{{ return('sysdate()') }}{% endmacro %}

{# Milliseconds since 1970 as a timestamp without a zone, in UTC. #}
{% macro from_milliseconds(ms) %}{{ return(adapter.dispatch('from_milliseconds', 'millrace')(ms)) }}{% endmacro %}
{% macro default__from_milliseconds(ms) %}{{ return("(timestamp '1970-01-01' + (" ~ ms ~ ") * interval '1 millisecond')") }}{% endmacro %}
{% macro duckdb__from_milliseconds(ms) %}{{ return('make_timestamp((' ~ ms ~ ') * 1000)') }}{% endmacro %}
{% macro snowflake__from_milliseconds(ms) %}{{ return('to_timestamp_ntz(' ~ ms ~ ', 3)') }}{% endmacro %}
