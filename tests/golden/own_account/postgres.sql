SELECT concat('{"id":', '"' || (t0."id")::text || '"', ',"created_at":', '"' || to_char((t0."created_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', ',"updated_at":', '"' || to_char((t0."updated_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', ',"email":', to_json(t0."email")::text, ',"name":', to_json(t0."name")::text, ',"city":', coalesce(to_json(t0."city")::text, 'null'), ',"born":', coalesce('"' || (t0."born")::text || '"', 'null'), '}'), (t0."id")::text
FROM "customers" AS t0
WHERE t0."id" = $1::uuid
ORDER BY t0."id"
LIMIT $2::bigint
