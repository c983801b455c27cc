SELECT json_object('id', t0."id", 'name', t0."name", 'state', t0."state"), t0."_version"
FROM "products" AS t0
WHERE t0."id" = ?1
