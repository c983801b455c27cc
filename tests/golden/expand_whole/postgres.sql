SELECT concat('{"id":', '"' || (t0."id")::text || '"', ',"created_at":', '"' || to_char((t0."created_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', ',"updated_at":', '"' || to_char((t0."updated_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', ',"name":', to_json(t0."name")::text, ',"slug":', to_json(t0."slug")::text, ',"parent":', CASE WHEN t1."id" IS NULL THEN 'null' ELSE concat('{"id":', '"' || (t1."id")::text || '"', ',"created_at":', '"' || to_char((t1."created_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', ',"updated_at":', '"' || to_char((t1."updated_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', ',"name":', to_json(t1."name")::text, ',"slug":', to_json(t1."slug")::text, ',"parent":', coalesce('"' || (t1."parent_id")::text || '"', 'null'), '}') END, '}'), (t0."id")::text
FROM "categories" AS t0
LEFT JOIN "categories" AS t1 ON t1."id" = t0."parent_id"
WHERE t0."slug" = $1::text
ORDER BY t0."id"
LIMIT $2::bigint
