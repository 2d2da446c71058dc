{# One statement of each kind in one transaction, alike on all three. #}
{% macro incremental_strategy() %}{{ return(var('millrace_incremental_strategy', 'delete+insert')) }}{% endmacro %}
