{#
  The changes of one table, one row for each record of its archive: whose change it is, where it stands, and the columns
  with their types. A record that was loaded twice is here twice; the models on top give the same rows all the same.
  `columns` is a list of {name, type}, `key` a list of names.
#}
{% macro staged_changes(raw, columns, key) %}
{%- set op = millrace.json_text(['value', 'op']) %}
select
  {{ millrace.json_text(['key']) }} as _cdc_key,
  {{ op }} as _cdc_op,
  coalesce(cast({{ millrace.json_text(['source_epoch']) }} as bigint), 1) as _cdc_epoch,
  cast({{ millrace.json_text(['value', 'source', 'lsn']) }} as bigint) as _cdc_lsn,
  cast({{ millrace.json_text(['partition']) }} as integer) as _cdc_partition,
  cast({{ millrace.json_text(['offset']) }} as bigint) as _cdc_offset,
  cast({{ millrace.json_text(['timestamp']) }} as bigint) as _cdc_recorded_ms,
  {{ millrace.from_milliseconds('cast(' ~ millrace.json_text(['value', 'source', 'ts_ms']) ~ ' as bigint)') }} as _cdc_changed_at,
  loaded_at as _cdc_loaded_at,
  {# An update of the key comes as a delete and a create; each has the other's key in a header. #}
  case when {{ millrace.json_text(['headers']) }} like '%"__debezium.newkey"%' or {{ millrace.json_text(['headers']) }} like '%"__debezium.oldkey"%' then 1 else 0 end as _cdc_key_changed
  {%- for each in columns if each.name in key %},
  {{ millrace.typed([each.name], each.type, millrace.parsed_json(millrace.json_text(['key']))) }} as {{ millrace.column(each.name) }}
  {%- endfor %}
  {%- for each in columns if each.name not in key %}
  {%- set path = ['value', 'after', each.name] %},
  {%- if millrace.is_toastable(each.type) %}
  case when {{ millrace.is_unavailable(path) }} then 0 else 1 end as {{ millrace.sent_column(each.name) }},
  case when not {{ millrace.is_unavailable(path) }} then {{ millrace.typed(path, each.type) }} end as {{ millrace.column(each.name) }}
  {%- else %}
  {{ millrace.typed(path, each.type) }} as {{ millrace.column(each.name) }}
  {%- endif %}
  {%- endfor %},
  {{ millrace.specials(columns, key) }} as _cdc_specials
from {{ raw }}
{# A tombstone says nothing that the delete before it has not said. #}
where {{ op }} in ('c', 'u', 'd', 'r', 't')
{% endmacro %}

{# By column, as `name=text; `: values that a column's type cannot hold here, such as NaN or a date of infinity. #}
{% macro specials(columns, key) %}
  {%- set found = [] -%}
  {%- for each in columns if each.name not in key -%}
    {%- set path = ['value', 'after', each.name] -%}
    {%- set type = millrace.column_type(each.type) -%}
    {%- if type not in ['varchar', 'text', 'blob', 'binary', 'bytea'] -%}
      {%- set text = millrace.postgres_text(millrace.json_text(path), '' if each.type.array else each.type.base) -%}
      {%- do found.append("case when " ~ millrace.json_text(path) ~ " is not null and not " ~ millrace.is_unavailable(path) ~ " and " ~ millrace.typed(path, each.type) ~ " is null then '" ~ each.name ~ "=' || " ~ text ~ " || '; ' else '' end") -%}
    {%- endif -%}
  {%- endfor -%}
  {%- if found | length == 0 or target.type == 'postgres' -%}
    {{ return('cast(null as ' ~ ('varchar' if target.type != 'postgres' else 'text') ~ ')') }}
  {%- endif -%}
  {{ return("nullif(" ~ found | join(' || ') ~ ", '')") }}
{% endmacro %}
