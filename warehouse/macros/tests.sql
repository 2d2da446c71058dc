{# A key is in one row, and has all its columns. Names are the columns', whatever a warehouse reserves. #}
{% test key_is_unique(model, key) %}
select {% for name in key %}{{ millrace.column(name) }}, {% endfor %}count(*) as rows_with_it
from {{ model }}
group by {% for name in key %}{{ millrace.column(name) }}{{ ', ' if not loop.last }}{% endfor %}
having count(*) > 1
{% endtest %}

{% test key_is_not_null(model, key) %}
select 1 as row_without_key from {{ model }}
where {% for name in key %}{{ millrace.column(name) }} is null{{ ' or ' if not loop.last }}{% endfor %}
{% endtest %}

{# A key whose records are in several partitions: the topic was widened, or somebody else writes to it. #}
{% test key_in_one_partition(model) %}
select _cdc_key from {{ model }} where _cdc_moved = 1
{% endtest %}

{# A key whose record with the greatest offset is not its newest change: a replay, a widened topic, a late delivery. #}
{% test offset_agrees_with_lsn(model) %}
select _cdc_key, _cdc_position, _cdc_top_position from {{ model }}
where _cdc_key not like '!%' and _cdc_top_position <> _cdc_position
{% endtest %}

{# A value that no loaded change has: the row's first changes are not loaded. #}
{% test values_are_known(model) %}
select _cdc_key from {{ model }} where _cdc_unresolved = 1
{% endtest %}

{# A value that the warehouse's type cannot hold, such as NaN: _cdc_specials has its text. #}
{% test values_fit(model) %}
select _cdc_key, _cdc_specials from {{ model }} where _cdc_specials is not null
{% endtest %}
