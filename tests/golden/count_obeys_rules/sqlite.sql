SELECT concat('{"id":"', t0."id", '"}'), t0."id", (SELECT count(*)
  FROM "reviews" AS t1
  WHERE (t1."hidden" <> ?4
    AND t1."stars" <= ?5))
FROM "reviews" AS t0
WHERE (t0."hidden" <> ?1
  AND t0."stars" <= ?2)
ORDER BY t0."id"
LIMIT ?3
