SELECT ('{' || '"roles":' || coalesce(t0."roles", 'null') || ',' || substr(json_object('name', t0."name", 'email', t0."email", 'born', t0."born"), 2)), t0."name", t0."id"
FROM "customers" AS t0
ORDER BY t0."name" DESC, t0."id" DESC
LIMIT ?1
