SELECT concat('{"text":', json_quote(t0."text"), ',"author":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', json_quote(t2."name"), '}') END, '}'), t0."id"
FROM "reviews" AS t0
LEFT JOIN "customers" AS t2 ON t2."id" = t0."author_id"
AND t2."id" = ?1
WHERE ((t0."hidden" <> ?2
    OR t0."author_id" = ?1)
  AND NOT (t0."author_id" IN (SELECT t1."id"
      FROM "customers" AS t1
      WHERE (t1."id" = ?1
        AND t1."city" = ?3))))
ORDER BY t0."id"
LIMIT ?4
