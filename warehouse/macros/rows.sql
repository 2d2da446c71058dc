{#
  The rule. Of all changes of a key, the one with the greatest position is the row. A position is, as one text that
  sorts: the database's epoch, the LSN or what stands for it, what kind of change it is, and for rows without an LSN
  when and at which offset they were recorded.

  - Two records with one position are one change that was delivered twice.
  - At one LSN a change comes after the snapshot's row (0 before 1).
  - A row of an incremental snapshot has no LSN. It stands after every change of its key that was recorded before it (2).
#}
{% macro position(strategy, epoch, lsn, kind, recorded_ms, offset) %}
  {%- if strategy == 'max-offset' -%}
    {{ return("lpad(cast(" ~ offset ~ " as varchar), 20, '0')") }}
  {%- endif -%}
  {{ return(
    "lpad(cast(" ~ epoch ~ " as varchar), 10, '0') || lpad(cast(" ~ lsn ~ " as varchar), 20, '0') || " ~ kind
    ~ " || case when " ~ kind ~ " = '2' then lpad(cast(greatest(" ~ recorded_ms ~ ", 0) as varchar), 19, '0') || lpad(cast(" ~ offset ~ " as varchar), 19, '0') else repeat('0', 38) end"
  ) }}
{% endmacro %}

{% macro strategy_of(name) %}
  {%- set strategy = var('millrace_strategies', {}).get(name, var('millrace_strategy', 'lsn')) -%}
  {%- if strategy not in ['lsn', 'max-offset'] -%}
    {{ exceptions.raise_compiler_error("millrace: the strategy of " ~ name ~ " is " ~ strategy ~ "; it takes lsn or max-offset. Set millrace_strategy or millrace_strategies in dbt_project.yml.") }}
  {%- endif -%}
  {{ return(strategy) }}
{% endmacro %}

{#
  One row for each key that ever was, deleted ones marked by _cdc_op = 'd', and two marks that are no rows, whose keys
  begin with "!": the last truncate, and the newest epoch whose changes have begun to stream. The same rows come out
  whatever the order and the batches in which records are loaded, and however often.

  The table's own columns pass through. What is worked with beside them is called _cdc_… or _cdc_w_…, which no declared
  column may be.
#}
{% macro latest_rows(name, changes, columns, key) %}
{%- set strategy = millrace.strategy_of(name) -%}
{%- set keys = columns | selectattr('name', 'in', key) | list -%}
{%- set values = columns | rejectattr('name', 'in', key) | list -%}
{%- set apart = [] -%}
{%- for each in values if millrace.is_toastable(each.type) -%}{%- do apart.append(each) -%}{%- endfor -%}
{%- set stored_names = [] -%}
{%- if is_incremental() -%}
  {%- for each in adapter.get_columns_in_relation(this) -%}{%- do stored_names.append(each.name | lower) -%}{%- endfor -%}
{%- endif -%}
{%- set text = 'text' if target.type == 'postgres' else 'varchar' %}
with changes as (
  select * from {{ changes }}
  {%- if is_incremental() %}
  where _cdc_loaded_at >= (
    select coalesce({{ dbt.dateadd('minute', -var('millrace_lookback_minutes', 15), 'max(_cdc_loaded_at)') }}, cast('1970-01-01' as timestamp)) from {{ this }}
  )
  {%- endif %}
),

{%- if is_incremental() %}
stored as (
  select * from {{ this }}
  where _cdc_key in (select _cdc_key from changes) or _cdc_key like '!%' or _cdc_unresolved = 1
),
{%- endif %}

-- An LSN for the rows of incremental snapshots: the greatest that their key, or a truncate, had before.
earlier as (
  select _cdc_key, _cdc_epoch, _cdc_lsn, _cdc_partition, _cdc_offset, _cdc_recorded_ms from changes
  where _cdc_lsn is not null and _cdc_key is not null
  {%- if is_incremental() %}
  union all
  select _cdc_key, _cdc_epoch, _cdc_lsn, _cdc_partition, _cdc_offset, _cdc_recorded_ms from stored where _cdc_key not like '!%'
  {%- endif %}
),
truncates as (
  select _cdc_epoch, _cdc_lsn, _cdc_recorded_ms from changes where _cdc_op = 't'
  {%- if is_incremental() %}
  union all
  select _cdc_epoch, _cdc_lsn, _cdc_recorded_ms from stored where _cdc_key = '!truncate'
  {%- endif %}
),
lsn_by_key as (
  select r._cdc_partition, r._cdc_offset, r._cdc_recorded_ms, max(e._cdc_lsn) as lsn
  from changes r
  join earlier e on e._cdc_key = r._cdc_key and e._cdc_epoch = r._cdc_epoch and (
    (e._cdc_partition = r._cdc_partition and e._cdc_offset < r._cdc_offset)
    or (e._cdc_partition <> r._cdc_partition and e._cdc_recorded_ms <= r._cdc_recorded_ms)
  )
  where r._cdc_lsn is null
  group by 1, 2, 3
),
lsn_by_truncate as (
  select r._cdc_partition, r._cdc_offset, r._cdc_recorded_ms, max(t._cdc_lsn) as lsn
  from changes r
  join truncates t on t._cdc_epoch = r._cdc_epoch and t._cdc_recorded_ms <= r._cdc_recorded_ms
  where r._cdc_lsn is null
  group by 1, 2, 3
),

placed as (
  select
    c.*,
    coalesce(c._cdc_lsn, greatest(coalesce(k.lsn, 0), coalesce(t.lsn, 0))) as _cdc_w_lsn,
    case when c._cdc_lsn is null then '2' when c._cdc_op = 'r' then '0' else '1' end as _cdc_w_kind
  from changes c
  left join lsn_by_key k
    on c._cdc_lsn is null and k._cdc_partition = c._cdc_partition and k._cdc_offset = c._cdc_offset and k._cdc_recorded_ms = c._cdc_recorded_ms
  left join lsn_by_truncate t
    on c._cdc_lsn is null and t._cdc_partition = c._cdc_partition and t._cdc_offset = c._cdc_offset and t._cdc_recorded_ms = c._cdc_recorded_ms
  where c._cdc_op in ('c', 'u', 'd', 'r') and c._cdc_key is not null
),

entries as (
  select
    p._cdc_key, p._cdc_op, p._cdc_epoch, p._cdc_w_lsn as _cdc_lsn,
    {{ millrace.position(strategy, 'p._cdc_epoch', 'p._cdc_w_lsn', 'p._cdc_w_kind', 'p._cdc_recorded_ms', 'p._cdc_offset') }} as _cdc_position,
    p._cdc_partition, p._cdc_offset, p._cdc_recorded_ms, p._cdc_changed_at, p._cdc_loaded_at, p._cdc_key_changed,
    p._cdc_specials,
    cast('' as {{ text }}) as _cdc_life, cast('' as {{ text }}) as _cdc_born,
    p._cdc_offset as _cdc_top_offset, {{ millrace.position(strategy, 'p._cdc_epoch', 'p._cdc_w_lsn', 'p._cdc_w_kind', 'p._cdc_recorded_ms', 'p._cdc_offset') }} as _cdc_top_position, 0 as _cdc_moved, 0 as _cdc_w_is_stored
    {%- for each in keys %}, p.{{ millrace.column(each.name) }}{% endfor %}
    {%- for each in values %}, p.{{ millrace.column(each.name) }}{% endfor %}
    {%- for each in apart %},
    case when p.{{ millrace.sent_column(each.name) }} = 1 and p._cdc_op <> 'd' then {{ millrace.position(strategy, 'p._cdc_epoch', 'p._cdc_w_lsn', 'p._cdc_w_kind', 'p._cdc_recorded_ms', 'p._cdc_offset') }} end as {{ millrace.position_column(each.name) }}
    {%- endfor %}
  from placed p

  union all
  select
    '!truncate', 't', _cdc_epoch, _cdc_lsn,
    {{ millrace.position(strategy, '_cdc_epoch', '_cdc_lsn', "'1'", '_cdc_recorded_ms', '_cdc_offset') }},
    _cdc_partition, _cdc_offset, _cdc_recorded_ms, _cdc_changed_at, _cdc_loaded_at, 0,
    cast(null as {{ text }}), cast('' as {{ text }}), cast('' as {{ text }}), _cdc_offset, cast('' as {{ text }}), 0, 0
    {%- for each in keys + values %}, cast(null as {{ millrace.column_type(each.type) }}){% endfor %}
    {%- for each in apart %}, cast(null as {{ text }}){% endfor %}
  from changes where _cdc_op = 't'

  union all
  select
    '!streaming', 's', _cdc_epoch, cast(0 as bigint),
    {{ millrace.position('lsn', '_cdc_epoch', '0', "'1'", '0', '0') }},
    0, cast(0 as bigint), cast(0 as bigint), min(_cdc_changed_at), min(_cdc_loaded_at), 0,
    cast(null as {{ text }}), cast('' as {{ text }}), cast('' as {{ text }}), cast(0 as bigint), cast('' as {{ text }}), 0, 0
    {%- for each in keys + values %}, cast(null as {{ millrace.column_type(each.type) }}){% endfor %}
    {%- for each in apart %}, cast(null as {{ text }}){% endfor %}
  from changes where _cdc_op <> 'r' group by _cdc_epoch

  {%- if is_incremental() %}
  union all
  select
    _cdc_key, _cdc_op, _cdc_epoch, _cdc_lsn, _cdc_position, _cdc_partition, _cdc_offset, _cdc_recorded_ms,
    _cdc_changed_at, _cdc_loaded_at, _cdc_key_changed, _cdc_specials, _cdc_life, _cdc_born, _cdc_top_offset, _cdc_top_position, _cdc_moved, 1
    {%- for each in keys + values %}, {{ millrace.stored_column(each.name, stored_names, millrace.column_type(each.type)) }}{% endfor %}
    {%- for each in apart %}, {{ millrace.stored_column('_cdc_at_' ~ each.name, stored_names, text, millrace.position_column(each.name)) }}{% endfor %}
  from stored
  {%- endif %}
),

{%- if apart | length > 0 %}
-- Where a key was changed, the old key's values as they were then: its delete has the create's LSN, and so its position.
farewells as (
  select _cdc_key, _cdc_position from entries where _cdc_op = 'd' and _cdc_key_changed = 1 and _cdc_w_is_stored = 0
),
ended_lives as (
  select
    f._cdc_position as _cdc_w_ended_at, e._cdc_op, e._cdc_position
    {%- for each in apart %}, e.{{ millrace.column(each.name) }}, e.{{ millrace.position_column(each.name) }}{% endfor %},
    max(case when e._cdc_op = 'd' and e._cdc_position < f._cdc_position then e._cdc_position else e._cdc_life end) over (partition by f._cdc_position) as _cdc_w_life
  from farewells f join entries e on e._cdc_key = f._cdc_key and (
    e._cdc_position < f._cdc_position
    -- The delete as a run before stored it: it may have a value that came by way of a key before this one.
    or (e._cdc_position = f._cdc_position and e._cdc_w_is_stored = 1)
  )
),
old_values as (
  select
    _cdc_w_ended_at
    {%- for each in apart %}, {{ millrace.column(each.name) }}, {{ millrace.sent_column(each.name) }}{% endfor %}
  from (
    select
      _cdc_w_ended_at
      {%- for each in apart %},
      first_value({{ millrace.column(each.name) }}) over ({{ millrace.newest_of(each.name) }}) as {{ millrace.column(each.name) }},
      max(case when {{ millrace.position_column(each.name) }} > _cdc_w_life then 1 else 0 end) over (partition by _cdc_w_ended_at) as {{ millrace.sent_column(each.name) }}
      {%- endfor %},
      row_number() over (partition by _cdc_w_ended_at order by _cdc_position) as _cdc_w_place
    from ended_lives
  ) as old
  where _cdc_w_place = 1
  {%- if is_incremental() %}
  union all
  select
    _cdc_position
    {%- for each in apart %}, {{ millrace.stored_column(each.name, stored_names, millrace.column_type(each.type)) }},
    case when {{ millrace.stored_column('_cdc_at_' ~ each.name, stored_names, text, millrace.position_column(each.name)) }} is not null then 1 else 0 end
    {%- endfor %}
  from {{ this }}
  where _cdc_op = 'd' and _cdc_key_changed = 1 and _cdc_position in (
    select _cdc_position from entries where _cdc_op = 'c' and _cdc_key_changed = 1 and _cdc_w_is_stored = 0
    union all select _cdc_born from stored where _cdc_unresolved = 1
  ) and _cdc_position not in (select _cdc_w_ended_at from ended_lives)
  {%- endif %}
),
linked as (
  select
    e._cdc_key, e._cdc_op, e._cdc_epoch, e._cdc_lsn, e._cdc_position, e._cdc_partition, e._cdc_offset, e._cdc_recorded_ms,
    e._cdc_changed_at, e._cdc_loaded_at, e._cdc_key_changed, e._cdc_specials, e._cdc_life,
    case when e._cdc_op = 'c' and e._cdc_key_changed = 1 then e._cdc_position else e._cdc_born end as _cdc_born,
    e._cdc_top_offset, e._cdc_top_position, e._cdc_moved, e._cdc_w_is_stored
    {%- for each in keys + values %},
    {%- if each in apart %}
    case when e.{{ millrace.position_column(each.name) }} is null and o.{{ millrace.sent_column(each.name) }} = 1 then o.{{ millrace.column(each.name) }} else e.{{ millrace.column(each.name) }} end as {{ millrace.column(each.name) }}
    {%- else %} e.{{ millrace.column(each.name) }}
    {%- endif %}
    {%- endfor %}
    {%- for each in apart %},
    e.{{ millrace.position_column(each.name) }} as _cdc_w_stored_{{ loop.index }},
    case when e.{{ millrace.position_column(each.name) }} is null and o.{{ millrace.sent_column(each.name) }} = 1 then o._cdc_w_ended_at else e.{{ millrace.position_column(each.name) }} end as {{ millrace.position_column(each.name) }}
    {%- endfor %}
  from entries e
  left join old_values o on o._cdc_w_ended_at = case
    when e._cdc_op = 'c' and e._cdc_key_changed = 1 then e._cdc_position
    when e._cdc_w_is_stored = 1 and e._cdc_op <> 'd' then e._cdc_born
  end
),
{%- else %}
linked as (select * from entries),
{%- endif %}

tops as (
  select *, max(_cdc_position) over (partition by _cdc_key) as _cdc_w_top from linked
),
-- A life of a key ends with a delete. Of values that a change does not have, the newest of the same life counts.
lives as (
  select
    *,
    max(case when _cdc_op = 'd' and _cdc_position < _cdc_w_top then _cdc_position else _cdc_life end) over (partition by _cdc_key) as _cdc_w_life,
    max(_cdc_born) over (partition by _cdc_key) as _cdc_w_born,
    max(_cdc_top_offset) over (partition by _cdc_key) as _cdc_w_top_offset,
    first_value(_cdc_top_position) over (partition by _cdc_key order by _cdc_top_offset desc rows between unbounded preceding and unbounded following) as _cdc_w_top_position,
    case when min(_cdc_partition) over (partition by _cdc_key) <> max(_cdc_partition) over (partition by _cdc_key) then 1
      else max(_cdc_moved) over (partition by _cdc_key) end as _cdc_w_moved,
    row_number() over (partition by _cdc_key order by _cdc_position desc, _cdc_offset, _cdc_w_is_stored desc) as _cdc_w_place
  from tops
),
{%- if apart | length > 0 %}
picked as (
  select
    *
    {%- for each in apart %},
    first_value({{ millrace.column(each.name) }}) over ({{ millrace.newest_of(each.name, '_cdc_key') }}) as _cdc_w_value_{{ loop.index }},
    max(case when {{ millrace.position_column(each.name) }} > _cdc_w_life then {{ millrace.position_column(each.name) }} end) over (partition by _cdc_key) as _cdc_w_at_{{ loop.index }}
    {%- endfor %}
  from lives
),
{%- endif %}
latest as (
  select * from {{ 'picked' if apart | length > 0 else 'lives' }} where _cdc_w_place = 1
)

select
  _cdc_key
  {%- for each in keys %}, {{ millrace.column(each.name) }}{% endfor %}
  {%- for each in values %}
  {%- if each in apart %},
  {# A deleted row keeps no values, but for a key that was changed: its new key may need them. #}
  case when (_cdc_op <> 'd' or _cdc_key_changed = 1) and _cdc_w_at_{{ apart.index(each) + 1 }} is not null then _cdc_w_value_{{ apart.index(each) + 1 }} end as {{ millrace.column(each.name) }}
  {%- else %},
  {{ millrace.column(each.name) }}
  {%- endif %}
  {%- endfor %},
  _cdc_op, _cdc_epoch, _cdc_lsn, _cdc_position, _cdc_partition, _cdc_offset, _cdc_recorded_ms, _cdc_changed_at,
  _cdc_loaded_at, _cdc_key_changed, _cdc_specials,
  _cdc_w_life as _cdc_life,
  case when _cdc_w_born > _cdc_w_life then _cdc_w_born else '' end as _cdc_born,
  _cdc_w_top_offset as _cdc_top_offset,
  _cdc_w_top_position as _cdc_top_position,
  _cdc_w_moved as _cdc_moved
  {%- for each in apart %},
  case when _cdc_op <> 'd' or _cdc_key_changed = 1 then _cdc_w_at_{{ loop.index }} end as {{ millrace.position_column(each.name) }}
  {%- endfor %},
  {%- if apart | length > 0 %}
  case when _cdc_op in ('c', 'u', 'r') and ({% for each in apart %}_cdc_w_at_{{ loop.index }} is null{{ ' or ' if not loop.last }}{% endfor %}) then 1 else 0 end as _cdc_unresolved
  {%- else %}
  0 as _cdc_unresolved
  {%- endif %}
from latest
{#- Rows that stay as they are need no writing. #}
where _cdc_w_is_stored = 0 or _cdc_w_life <> _cdc_life or _cdc_w_top_offset <> _cdc_top_offset or _cdc_w_moved <> _cdc_moved
  {%- for each in apart %} or _cdc_w_at_{{ loop.index }} is distinct from _cdc_w_stored_{{ loop.index }}{% endfor %}
{% endmacro %}

{# The order in which a value that was sent in this life comes first, the newest before others. #}
{% macro newest_of(name, group='_cdc_w_ended_at') %}
  {{ return('partition by ' ~ group ~ ' order by case when ' ~ millrace.position_column(name) ~ ' > _cdc_w_life then ' ~ millrace.position_column(name) ~ " else '' end desc rows between unbounded preceding and unbounded following") }}
{% endmacro %}

{# A column of the model as it stands; null where it was declared since, until --full-refresh or a snapshot fills it. #}
{% macro stored_column(name, stored_names, type, quoted=none) %}
  {{ return((quoted or millrace.column(name)) if name | lower in stored_names else 'cast(null as ' ~ type ~ ')') }}
{% endmacro %}

{#
  The table as it is: no deleted rows, none from before the last truncate, and none that a restored database does not
  have, once its snapshot has ended and been loaded.
#}
{% macro current_rows(rows, heartbeat, columns) %}
select
  {%- for each in columns %}
  r.{{ millrace.column(each.name) }},
  {%- endfor %}
  r._cdc_changed_at, r._cdc_loaded_at, r._cdc_epoch, r._cdc_lsn, r._cdc_specials
from {{ rows }} r
cross join (
  select
    coalesce(max(case when _cdc_key = '!truncate' then _cdc_position end), '') as truncated_at,
    coalesce(max(case when {{ millrace.is_settled_epoch() }} then _cdc_epoch end), 0) as epoch
  from {{ rows }} where _cdc_key like '!%'
) own
{%- if heartbeat %}
cross join (
  select coalesce(max(case when {{ millrace.is_settled_epoch() }} then _cdc_epoch end), 0) as epoch
  from {{ heartbeat }} where _cdc_key like '!%'
) beat
{%- endif %}
where r._cdc_key not like '!%' and r._cdc_op <> 'd' and r._cdc_position > own.truncated_at
  and r._cdc_epoch >= own.epoch {%- if heartbeat %} and r._cdc_epoch >= beat.epoch{% endif %}
{% endmacro %}

{% macro is_settled_epoch() %}
  {{ return("_cdc_key = '!streaming' and _cdc_loaded_at <= " ~ dbt.dateadd('minute', -var('millrace_snapshot_grace_minutes', 60), millrace.now_utc())) }}
{% endmacro %}
