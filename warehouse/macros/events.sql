{#
  The records of an archived topic that has Avro schemas, each once. `fields` is a list of {name, type}; a type's base is
  PostgreSQL's, or one of Avro's own: timestamp-millis, timestamp-micros, date.
#}
{% macro staged_events(raw, fields) %}
with loaded as (
  select
    {{ millrace.json_text(['partition']) }} || '-' || {{ millrace.json_text(['offset']) }} || '-' || {{ millrace.json_text(['timestamp']) }} as _record,
    cast({{ millrace.json_text(['partition']) }} as integer) as _partition,
    cast({{ millrace.json_text(['offset']) }} as bigint) as _offset,
    {{ millrace.from_milliseconds('cast(' ~ millrace.json_text(['timestamp']) ~ ' as bigint)') }} as _recorded_at,
    {{ millrace.json_text(['key']) }} as _record_key,
    {{ millrace.json_text(['schema_id']) }} as _schema_id,
    case when {{ millrace.json_text(['value']) }} is null then 1 else 0 end as _is_tombstone,
    {%- for each in fields %}
    {{ millrace.event_field(['value', each.name], each.type) }} as {{ millrace.column(each.name) }},
    {%- endfor %}
    loaded_at as _loaded_at
  from {{ raw }}
  {%- if is_incremental() %}
  where loaded_at >= (
    select coalesce({{ dbt.dateadd('minute', -var('millrace_lookback_minutes', 15), 'max(_loaded_at)') }}, cast('1970-01-01' as timestamp)) from {{ this }}
  )
  {%- endif %}
)
select
  _record, _partition, _offset, _recorded_at, _record_key, _schema_id, _is_tombstone,
  {%- for each in fields %} {{ millrace.column(each.name) }},{% endfor %}
  _loaded_at
from (
  {#- Of a record that was loaded twice, the first load counts, so that a repeated load changes nothing. #}
  select *, row_number() over (partition by _record order by _loaded_at) as _cdc_w_place from loaded
) as counted
where _cdc_w_place = 1
{%- if is_incremental() %} and _record not in (select _record from {{ this }}){% endif %}
{% endmacro %}

{% macro event_field(path, type) %}
  {%- set whole = 'cast(' ~ millrace.json_text(path) ~ ' as bigint)' -%}
  {%- if type.base == 'timestamp-millis' -%}{{ return(millrace.from_milliseconds(whole)) }}
  {%- elif type.base == 'timestamp-micros' -%}{{ return(millrace.from_milliseconds('floor(' ~ whole ~ ' / 1000)')) }}
  {%- elif type.base == 'avro-date' -%}{{ return('cast(' ~ millrace.from_milliseconds(whole ~ ' * 86400000') ~ ' as date)') }}
  {%- endif -%}
  {{ return(millrace.typed(path, type)) }}
{% endmacro %}
