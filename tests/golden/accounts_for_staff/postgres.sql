SELECT concat('{"name":', to_json(t0."name")::text, ',"email":', to_json(t0."email")::text, ',"roles":', (t0."roles")::text, ',"born":', coalesce('"' || (t0."born")::text || '"', 'null'), '}'), (t0."name")::text, (t0."id")::text
FROM "customers" AS t0
ORDER BY t0."name" DESC, t0."id" DESC
LIMIT $1::bigint
