SELECT concat('{"id":"', t0."id", '"}'), t0."id", (SELECT count(*)
  FROM (SELECT 1
    FROM "products" AS t1
    WHERE (t1."state" = ?5
      AND (t1."released_at" IS NULL
        OR ?2 >= t1."released_at")
      AND t1."kind" = ?6)
    LIMIT 10001) AS capped)
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."kind" = ?3)
ORDER BY t0."id"
LIMIT ?4
