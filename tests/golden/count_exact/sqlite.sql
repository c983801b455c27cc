SELECT concat('{"id":"', t0."id", '"}'), t0."id", (SELECT count(*)
  FROM "products" AS t1
  WHERE t1."state" = ?3)
FROM "products" AS t0
WHERE t0."state" = ?1
ORDER BY t0."id"
LIMIT ?2
